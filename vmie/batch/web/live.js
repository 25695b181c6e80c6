// Puts the pieces that the server sends in their places; a button does what it does without this, without a new page.
"use strict";
const put = (id, html) => {
  const old = document.getElementById(id);
  if (!old) return;
  if (id === "spoken") {  // a live region is read out when its text changes, not when it is another one
    if (old.textContent !== html) old.textContent = html;
    return;
  }
  const open = [...old.querySelectorAll("details[open]")].map(one => one.id);
  const focus = old.contains(document.activeElement) ? document.activeElement.id || "?" : "";
  const scrolled = [...old.querySelectorAll(".chart,.wide")].map(one => one.scrollLeft);
  const made = document.createElement("template");
  made.innerHTML = html;
  const now = made.content.firstElementChild;
  old.replaceWith(now);
  for (const name of open) document.getElementById(name)?.setAttribute("open", "");
  now.querySelectorAll(".chart,.wide").forEach((one, at) => { one.scrollLeft = scrolled[at] ?? 0; });
  if (focus) (document.getElementById(focus) ?? now.querySelector("button,a,summary,[tabindex]"))?.focus();
};
const root = document.getElementById("live");
const news = new EventSource("events?since=" + root.dataset.version);
const lost = document.getElementById("lost");
news.onmessage = event => {
  for (const [id, html] of Object.entries(JSON.parse(event.data))) put(id, html);
};
news.onopen = () => { lost.hidden = true; };
news.onerror = () => { lost.hidden = false; };
document.addEventListener("submit", event => {
  event.preventDefault();
  const body = new URLSearchParams(new FormData(event.target));
  fetch(event.target.action, {method: "POST", body, redirect: "manual"}).catch(() => { lost.hidden = false; });
});
