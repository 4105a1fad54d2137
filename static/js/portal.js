// Small helps for every page; each page works without them.
(() => {
  "use strict";

  // After a refused form the summary is the first thing that a keyboard or a screen reader meets.
  const focusErrorSummary = (root) => root.querySelector(".error-summary")?.focus();

  // A second click must not send a form twice; the button comes back when the page is shown again ("back").
  const lockSubmit = (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.method !== "post" || form.hasAttribute("hx-post")) return;
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    event.submitter?.classList.add("is-busy");
  };
  const unlockForms = () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => delete form.dataset.sent);
    document.querySelectorAll(".is-busy").forEach((button) => button.classList.remove("is-busy"));
  };

  // <button data-copy="text"> copies; the word on the button says so for two seconds.
  const copyText = async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 2000);
  };

  document.addEventListener("submit", lockSubmit);
  document.addEventListener("click", copyText);
  window.addEventListener("pageshow", unlockForms);
  document.addEventListener("htmx:afterSwap", (event) => focusErrorSummary(event.target));
  focusErrorSummary(document);
})();
