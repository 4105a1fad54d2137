// INBOX: counts and prices a reply while it is typed, and lets a page that nobody looks at rest.
(() => {
  "use strict";

  const form = document.getElementById("reply");
  const field = form?.querySelector("textarea");
  const counter = form?.querySelector("#text-counter");

  // --- Parts and price ------------------------------------------------------------------------------------------

  const put = (name, words) => {
    const element = counter.querySelector(`[data-count="${name}"]`);
    if (element.textContent !== words) element.textContent = words;
  };
  const note = (found, most, text) => {
    if (found.parts > most) return `The text needs ${found.parts} parts; at most ${most} are possible.`;
    const foreign = SmsText.foreignCharacters(text).filter((character) => character.trim()).slice(0, 10);
    return foreign.length ? `Not in the GSM alphabet, so a part has room for 70 characters: ${foreign.join(" ")}` : "";
  };
  const count = () => {
    const found = SmsText.segment(field.value);
    const { unitPrice, currency, mostParts } = counter.dataset;
    const parts = `${found.parts} ${found.parts === 1 ? "part" : "parts"}, ${found.unitsLeft} left`;
    const price = unitPrice ? ` · ${SmsPrice.total(unitPrice, found.parts, currency)}` : "";
    put("line", parts + price);
    put("note", note(found, Number(mostParts), field.value));
  };
  if (counter) {
    field.addEventListener("input", count);
    window.addEventListener("pageshow", count);
    count();
  }

  // --- What the refreshed thread tells ----------------------------------------------------------------------------

  // An opt-out that arrives while someone types stops the button; what was typed stays.
  const obeyOptOut = (thread) => {
    if (!form || !("optedOut" in thread.dataset)) return;
    form.querySelector("[type=submit]").disabled = true;
    form.querySelector("[data-blocked]").hidden = false;
  };
  let newest = document.getElementById("thread")?.dataset.newest;
  const tellNews = (thread) => {
    if (thread.dataset.newest && thread.dataset.newest !== newest) {
      const text = document.getElementById(`message-${thread.dataset.newest}`)?.querySelector(".bubble-text");
      document.getElementById("thread-news").textContent = text ? text.textContent : "";
    }
    newest = thread.dataset.newest;
  };
  document.addEventListener("htmx:afterSettle", () => {
    const thread = document.getElementById("thread");
    if (!thread) return;
    tellNews(thread);
    obeyOptOut(thread);
  });

  // --- A page in the background asks nothing and marks nothing as read ----------------------------------------------

  document.addEventListener("htmx:beforeRequest", (event) => {
    const asksByItself = event.target.matches("[data-poll], [data-when-seen]");
    if (document.hidden && asksByItself) event.preventDefault();
  });
  document.addEventListener("visibilitychange", () => {
    const waiting = document.querySelector("[data-when-seen]");
    if (!document.hidden && waiting) htmx.trigger(waiting, "seen");
  });
})();
