// Counts the texts of replies while they are typed: what each costs in parts. Without JavaScript saving says the same.
(() => {
  "use strict";

  const words = (text) => {
    if (!text) return "";
    const found = SmsText.segment(text);
    const parts = `${found.parts} part${found.parts === 1 ? "" : "s"}`;
    return `${found.characters} characters, ${parts}, ${found.encoding}; ${found.unitsLeft} left in this part`;
  };

  document.querySelectorAll("textarea[data-count-text]").forEach((field) => {
    const line = document.createElement("p");
    line.className = "form-hint text-count";
    line.setAttribute("role", "status");
    field.after(line);
    const update = () => {
      const now = words(field.value);
      if (line.textContent !== now) line.textContent = now;
    };
    field.addEventListener("input", update);
    window.addEventListener("pageshow", update);
    update();
  });
})();
