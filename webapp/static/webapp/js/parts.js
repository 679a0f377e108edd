// A part of the page that the server makes: its links, filters and the browser's back button fetch it alone. Without
// this script they are plain pages.

/** `onShown(part)` is called now and after each fetch. Returns show(url, {push, focus}). */
export function mountPart(part, onShown) {
  let request = null;

  async function show(url, { push = true, focus = null } = {}) {
    request?.abort();
    request = new AbortController();
    part.setAttribute("aria-busy", "true");
    try {
      const answer = await fetch(url, { headers: { "X-Part": "browser" }, signal: request.signal });
      if (!answer.ok || answer.redirected) throw new Error(answer.statusText);
      const parsed = new DOMParser().parseFromString(await answer.text(), "text/html"); // server-escaped; scripts in it never run
      part.replaceChildren(...parsed.body.childNodes);
      if (push) history.pushState(null, "", url);
      onShown(part);
      if (focus) part.querySelector(focus)?.focus({ preventScroll: false });
    } catch (error) {
      if (error.name !== "AbortError") location.assign(url); // let the browser show what is wrong
    } finally {
      part.removeAttribute("aria-busy");
    }
  }

  part.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey || event.button) return;
    const link = event.target.closest("a[href^='?']");
    if (!link) return;
    event.preventDefault();
    show(new URL(link.getAttribute("href"), location.href), { focus: focusAfter(link) });
  });

  part.addEventListener("submit", (event) => {
    if (!event.target.matches("[data-filters]")) return;
    event.preventDefault();
    submit(event.target);
  });
  part.addEventListener("change", (event) => {
    if (event.target.matches("[data-filters] select")) submit(event.target.form);
  });
  addEventListener("popstate", () => show(location.href, { push: false }));

  function submit(form) {
    const asked = new URLSearchParams([...new FormData(form)].filter(([, value]) => value));
    show(new URL(`?${asked}`, location.href));
  }

  onShown(part);
  return show;
}

function focusAfter(link) {
  if (link.hasAttribute("data-next")) return "[data-next], [data-shown]";
  if (link.hasAttribute("data-previous")) return "[data-previous], [data-shown]";
  if (link.hasAttribute("data-close-shown")) return ".tile";
  return link.classList.contains("tile") ? "[data-shown]" : null;
}
