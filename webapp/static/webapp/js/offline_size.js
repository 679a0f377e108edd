// How large the offline copy is, said before it is fetched: finding out takes longer than the page should.

const panel = document.getElementById("offline");
const sign = panel.querySelector("[data-offline-size]");

const size = (bytes) => (bytes < 1e6 ? `${Math.max(1, Math.round(bytes / 1e3))} kB` : bytes < 1e9 ? `${(bytes / 1e6).toFixed(1)} MB` : `${(bytes / 1e9).toFixed(1)} GB`);

sign.textContent = "measuring …";
try {
  const answer = await fetch(panel.dataset.size);
  if (!answer.ok) throw new Error(answer.statusText);
  const found = await answer.json();
  const more = found.bytes_with_samples > found.bytes ? `, with samples about ${size(found.bytes_with_samples)}` : "";
  sign.textContent = `about ${size(found.bytes)} unpacked${more}`;
} catch {
  sign.textContent = "";
}
