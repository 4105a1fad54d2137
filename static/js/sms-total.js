// What parts cost, as the portal writes amounts (a test compares them). Exact: whole millionths, never a float.
(() => {
  "use strict";

  const micros = (amount) => {
    const [whole, fraction = ""] = amount.split(".");
    return BigInt(whole) * 1000000n + BigInt(fraction.padEnd(6, "0"));
  };

  // "AUD 0.198", or "3 credits" where there is no currency. `unitPrice` has up to six decimals.
  const total = (unitPrice, parts, currency) => {
    const sum = micros(unitPrice) * BigInt(parts);
    const whole = (sum / 1000000n).toLocaleString("en-US");
    const fraction = (sum % 1000000n).toString().padStart(6, "0").replace(/0+$/, "");
    if (currency) return `${currency} ${whole}.${fraction.padEnd(2, "0")}`;
    return `${whole}${fraction ? `.${fraction}` : ""} ${sum === 1000000n ? "credit" : "credits"}`;
  };

  globalThis.SmsPrice = { total };
})();
