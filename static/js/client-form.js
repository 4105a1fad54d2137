// A client's form shows what the chosen payer, method and answers use. Without this file all fields stand there.
(() => {
  "use strict";

  const form = document.querySelector("[data-client-form]");
  if (!form) return;
  const payer = form.elements.payer;
  const method = form.elements.method;
  const groups = [...method.querySelectorAll("optgroup")];

  // A field with an error is never hidden: its error would be out of sight.
  const show = (element, wanted) => {
    element.hidden = !wanted && !element.querySelector(".is-invalid");
  };

  const labelOf = (select) => select.options[select.selectedIndex]?.text;

  // Only the methods of the chosen payer are offered; a method chosen before comes back with its payer.
  const lastChoice = {};
  const offerMethods = () => {
    const fitting = groups.filter((group) => group.label === labelOf(payer));
    const before = method.value;
    const belongs = fitting.some((group) => [...group.children].some((option) => option.value === before));
    method.replaceChildren(...(fitting.length ? fitting : groups));
    method.value = belongs ? before : lastChoice[payer.value] ?? method.options[0].value;
  };

  const refresh = () => {
    lastChoice[payer.value] = method.value;
    form.querySelectorAll("[data-methods]").forEach((element) => {
      show(element, element.dataset.methods.split(" ").includes(method.value));
    });
    form.querySelectorAll("[data-trial]").forEach((element) => show(element, form.elements.trial.value === "yes"));
    form.querySelectorAll("[data-keywords]").forEach((element) => show(element, form.elements.keywords.value === "yes"));
  };

  // The example of prices follows the client's country until someone looks at another one.
  const preview = form.querySelector("#id_preview_country");
  const followCountry = () => {
    if (!preview || preview.dataset.touched || !form.elements.country.value) return;
    preview.value = form.elements.country.value;
    preview.dispatchEvent(new Event("change", { bubbles: true }));
  };

  // A time zone that is chosen while the country's list is still on its way stays chosen.
  const zone = form.elements.time_zone;
  let chosenMeanwhile = "";
  zone.addEventListener("change", () => { chosenMeanwhile = zone.value; });
  form.addEventListener("htmx:beforeRequest", () => { chosenMeanwhile = ""; });
  form.addEventListener("htmx:afterSwap", (event) => {
    const offered = [...zone.options].some((option) => option.value === chosenMeanwhile);
    if (event.target === zone && chosenMeanwhile && offered) zone.value = chosenMeanwhile;
  });

  // Whoever types a password for someone else has to read it to them.
  const password = form.elements.password;
  const reveal = () => {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "btn btn-sm btn-ghost-secondary";
    const draw = () => {
      const hidden = password.type === "password";
      button.textContent = hidden ? "Show password" : "Hide password";
    };
    button.addEventListener("click", () => {
      password.type = password.type === "password" ? "text" : "password";
      draw();
    });
    form.addEventListener("submit", () => { password.type = "password"; });
    draw();
    password.after(button);
  };
  if (password && !password.disabled) reveal();

  form.addEventListener("change", (event) => {
    if (event.target === payer) offerMethods();
    if (event.target === form.elements.country) followCountry();
    if (event.target === preview && event.isTrusted) preview.dataset.touched = "yes";
    refresh();
  });

  // A refused form may hold a method of the other payer: it stays visible, so that its error makes sense.
  if (!method.classList.contains("is-invalid")) offerMethods();
  refresh();
})();
