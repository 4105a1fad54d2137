// SEND SMS: counts the text while it is typed. Without JavaScript the preview says the same.
(() => {
  "use strict";

  const counter = document.getElementById("text-counter");
  const field = document.getElementById("id_text");
  const sender = document.getElementById("id_sender");
  const handset = document.getElementById("live-preview");
  if (!counter || !field) return;

  const part = (name) => counter.querySelector(`[data-count="${name}"]`);
  const live = (name) => handset.querySelector(`[data-live="${name}"]`);
  const number = (value) => value.toLocaleString("en-US");
  const put = (element, words) => {
    if (element.textContent !== words) element.textContent = words;
  };

  // "“ ’ 😀": what forced the costlier alphabet, at most ten of them.
  const reason = (text) => {
    const foreign = SmsText.foreignCharacters(text);
    if (!foreign.length) return "";
    const shown = foreign.slice(0, 10).map((character) => (character.trim() ? character : codeOf(character)));
    const more = foreign.length > shown.length ? ` and ${foreign.length - shown.length} more` : "";
    return `Not in the GSM alphabet, so one part has room for 70 characters instead of 160: ${shown.join(" ")}${more}`;
  };
  const codeOf = (character) => `U+${character.codePointAt(0).toString(16).toUpperCase().padStart(4, "0")}`;

  const MERGE_FIELD = /\{[a-z][a-z0-9_]{0,39}(\|[^{}|]*)?\}/;
  const merging = (text) =>
    MERGE_FIELD.test(text) ? "Merge fields are counted as written here; the preview counts each recipient’s own text. " : "";

  const update = () => {
    const found = SmsText.segment(field.value);
    const most = Number(counter.dataset.mostParts);
    put(part("encoding"), found.encoding);
    put(part("characters"), number(found.characters));
    put(part("parts"), number(found.parts));
    put(part("left"), number(found.unitsLeft));
    const tooLong = found.parts > most ? `The text needs ${found.parts} parts; at most ${most} are possible. ` : "";
    put(part("note"), tooLong + merging(field.value) + reason(field.value));
    counter.classList.toggle("is-over", found.parts > most);
    put(live("sender"), sender.value.trim() || "Sender");
    put(live("text"), field.value || "…");
  };

  counter.hidden = handset.hidden = false;
  field.addEventListener("input", update);
  sender.addEventListener("input", update);
  window.addEventListener("pageshow", update);
  update();
})();
