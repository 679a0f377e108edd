// The page "Import results": sends the file with a progress bar. Without this script the form is posted as it is.

const form = document.getElementById("import");
const button = form.querySelector('[type="submit"]');
const sending = form.querySelector("[data-sending]");
const bar = sending.querySelector("progress");
const failed = document.getElementById("id_file_error");
const file = form.elements.file;

function sayError(text) {
  failed.hidden = !text;
  failed.querySelector("span").textContent = text;
  if (text) file.setAttribute("aria-invalid", "true");
  else file.removeAttribute("aria-invalid");
}

function busy(is) {
  sending.hidden = !is;
  bar.value = 0;
  if (is) button.setAttribute("aria-busy", "true");
  else button.removeAttribute("aria-busy");
}

// fetch() does not tell how much it has sent.
form.addEventListener("submit", (event) => {
  event.preventDefault();
  sayError("");
  busy(true);
  const request = new XMLHttpRequest();
  request.open("POST", form.action);
  request.setRequestHeader("Accept", "application/json");
  request.responseType = "json";
  request.upload.addEventListener("progress", ({ loaded, total }) => {
    bar.max = Math.max(1, total);
    bar.value = loaded;
  });
  request.addEventListener("load", () => {
    if (request.status === 201 && request.response?.url) { location.assign(request.response.url); return; }
    busy(false);
    sayError(request.response?.error ?? "The server did not take the file. Load this page again and try once more.");
  });
  request.addEventListener("error", () => {
    busy(false);
    sayError("The connection broke off while the file was sent. Try once more.");
  });
  request.send(new FormData(form));
});
addEventListener("pageshow", () => busy(false));
