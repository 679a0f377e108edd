// Owners drag their team's experiments into another order. The arrows in each row do the same without a pointer.

let dragged = null;

function rowOf(target) {
  return target instanceof Element ? target.closest("tr[data-code]") : null;
}

/** Rows of the dragged one's table, in the order they have now. */
function codes(body) {
  return [...body.querySelectorAll("tr[data-code]")].map((row) => row.dataset.code);
}

async function send(body) {
  const form = new FormData();
  for (const code of codes(body)) form.append("order", code);
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  const response = await fetch(body.dataset.order, { method: "POST", body: form, headers: { "X-CSRFToken": token } });
  if (response.ok) location.reload();
}

// Parts of the page are replaced as it refreshes, so rows become draggable when the pointer comes.
document.addEventListener("pointerover", (event) => {
  const row = rowOf(event.target);
  if (row) row.draggable = true;
});
document.addEventListener("dragstart", (event) => {
  dragged = rowOf(event.target);
  if (!dragged) return;
  event.dataTransfer.effectAllowed = "move";
  event.dataTransfer.setData("text/plain", dragged.dataset.code);
  dragged.classList.add("dragged");
});
document.addEventListener("dragover", (event) => {
  const over = rowOf(event.target);
  if (!dragged || !over || over === dragged || over.parentElement !== dragged.parentElement) return;
  event.preventDefault();
  const middle = over.getBoundingClientRect().top + over.offsetHeight / 2;
  over.parentElement.insertBefore(dragged, event.clientY < middle ? over : over.nextSibling);
});
document.addEventListener("drop", (event) => {
  if (dragged) event.preventDefault();
});
document.addEventListener("dragend", () => {
  if (!dragged) return;
  dragged.classList.remove("dragged");
  send(dragged.parentElement);
  dragged = null;
});
