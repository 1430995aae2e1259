// Buttons that use a passkey or make one. They are hidden where the browser knows no passkeys.
"use strict";

const FAULTS = {
  NotAllowedError: "No passkey was used. Try again, or use your key.",
  TypeError: "The server cannot be reached. Try again.",
  InvalidStateError: "This device has a passkey of yours already.",
};

async function optionsFor(button) {
  const token = button.form.elements.csrf_token.value;
  const answer = await fetch(button.dataset.options, { method: "POST", headers: { "X-CSRFToken": token } });
  if (!answer.ok) throw new Error("The server refused. Load the page again.");
  return answer.json();
}

async function run(button) {
  const options = await optionsFor(button);
  return button.dataset.passkey === "create"
    ? navigator.credentials.create({ publicKey: PublicKeyCredential.parseCreationOptionsFromJSON(options) })
    : navigator.credentials.get({ publicKey: PublicKeyCredential.parseRequestOptionsFromJSON(options) });
}

async function use(button) {
  const form = button.form, fault = form.querySelector("[data-passkey-fault]");
  if (button.dataset.passkey === "create" && !form.reportValidity()) return;
  fault.hidden = button.disabled = true;
  try {
    form.elements.passkey.value = JSON.stringify(await run(button));
    form.submit();
  } catch (error) {
    fault.textContent = FAULTS[error.name] || error.message;
    fault.hidden = button.disabled = false;
  }
}

if (window.PublicKeyCredential?.parseRequestOptionsFromJSON) {
  for (const note of document.querySelectorAll("[data-passkey-missing]")) note.hidden = true;
  for (const button of document.querySelectorAll("button[data-passkey]")) {
    button.hidden = false;
    button.addEventListener("click", () => use(button));
  }
}
