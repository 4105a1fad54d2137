// How a text becomes parts: the same rule as smpp/text.py, by which the portal prices and sends (a test compares them).
(() => {
  "use strict";

  const BASIC = new Set(
    "@£$¥èéùìòÇ\nØø\rÅåΔ_ΦΓΛΩΠΨΣΘΞÆæßÉ !\"#¤%&'()*+,-./0123456789:;<=>?" +
    "¡ABCDEFGHIJKLMNOPQRSTUVWXYZÄÖÑÜ§¿abcdefghijklmnopqrstuvwxyzäöñüà",
  );
  const EXTENSION = new Set("\f^{}\\[~]|€");
  const LIMITS = { "GSM-7": { single: 160, multi: 153 }, "UCS-2": { single: 70, multi: 67 } };

  // Septets that a character takes; 0 = it is not in the alphabet.
  const septets = (character) => (BASIC.has(character) ? 1 : EXTENSION.has(character) ? 2 : 0);

  // Fills parts one after the other; a character of two units is never split over two parts.
  const fill = (sizes, limit) => {
    let parts = 1;
    let used = 0;
    for (const size of sizes) {
      if (used + size > limit) {
        parts += 1;
        used = 0;
      }
      used += size;
    }
    return { parts, left: limit - used };
  };

  // What a text costs on the air. A browser's line end is one character, as the portal sends it.
  const segment = (text) => {
    const characters = [...text.replace(/\r\n?/g, "\n")];
    const isGsm = characters.every((character) => septets(character) > 0);
    const encoding = isGsm ? "GSM-7" : "UCS-2";
    const sizes = characters.map((character) => (isGsm ? septets(character) : character.length));
    const units = sizes.reduce((sum, size) => sum + size, 0);
    const limit = LIMITS[encoding];
    const { parts, left } = fill(sizes, units <= limit.single ? limit.single : limit.multi);
    return { encoding, characters: characters.length, units, parts, unitsLeft: left };
  };

  // Each character outside GSM-7, once, in the order in which they appear.
  const foreignCharacters = (text) =>
    [...new Set(text.replace(/\r\n?/g, "\n"))].filter((character) => !septets(character));

  globalThis.SmsText = { segment, foreignCharacters };
})();
