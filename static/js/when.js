// When to send: asks for a time only where one is chosen. Without JavaScript both fields are shown.
(() => {
  "use strict";

  const box = document.getElementById("send-at");
  const moment = document.getElementById("id_send_at");
  const choices = document.querySelectorAll('input[name="when"]');
  if (!box || !moment || !choices.length) return;

  const update = () => {
    const later = document.querySelector('input[name="when"]:checked')?.value === "later";
    box.hidden = !later;
    moment.disabled = !later; // what is not shown is not sent
  };

  choices.forEach((choice) => choice.addEventListener("change", update));
  window.addEventListener("pageshow", update);
  update();
})();
