// Everything here only improves pages that work without it; passkeys alone need
// script, because browsers offer no other way to them.
"use strict";

const policy = window.trustedTypes
  ? trustedTypes.createPolicy("console", { createHTML: (html) => html })
  : { createHTML: (html) => html };

const one = (selector, root = document) => root.querySelector(selector);
const all = (selector, root = document) => [...root.querySelectorAll(selector)];

// page reads a page of this server; anything else is refused.
async function page(url, options) {
  const answer = await fetch(url, { credentials: "same-origin", ...options });
  const text = await answer.text();
  return { ok: answer.ok, url: answer.url, document: new DOMParser().parseFromString(policy.createHTML(text), "text/html") };
}

// wake prepares what stands in a part of a page.
function wake(root) {
  all(".script[hidden]", root).forEach((e) => { e.hidden = false; });
  all(".unscript", root).forEach((e) => { e.hidden = true; });
  all("[data-when]", root).forEach(conditions);
  all("form[data-preview]", root).forEach(preview);
  all("form[data-register]", root).forEach(register);
  all("[data-passkey]", root).forEach(passkey);
}

// Copy buttons.
document.addEventListener("click", async (event) => {
  const button = event.target.closest("[data-copy]");
  if (!button) return;
  try {
    await navigator.clipboard.writeText(button.dataset.copy);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(one("code", button.parentElement));
    button.textContent = "Press Ctrl C";
  }
  setTimeout(() => { button.textContent = "Copy"; }, 2000);
});

// Lists: tick all, and filter as soon as something is chosen.
document.addEventListener("change", (event) => {
  const target = event.target;
  if (target.matches("[data-select-all]")) {
    all("input[name=id]", target.form).forEach((box) => { box.checked = target.checked; });
  }
  if (target.matches("[data-submit]")) target.form.requestSubmit();
  if (target.matches("select[name=authority_id]")) one("[data-authority]", target.form)?.click();
});

// Fields that matter only while another has a certain value.
function conditions(field) {
  const other = document.getElementById(field.dataset.when);
  if (!other) return;
  const values = field.dataset.whenValues.split("|");
  const look = () => {
    const value = other.type === "checkbox" ? String(other.checked) : other.value;
    field.hidden = !values.includes(value) || Boolean(other.closest("[data-when]")?.hidden);
    field.dispatchEvent(new Event("shown"));
  };
  other.addEventListener("change", look);
  other.closest("[data-when]")?.addEventListener("shown", look);
  look();
}

// The step before something that cannot be taken back opens as a dialog; its
// page is the same one that opens without script.
document.addEventListener("click", async (event) => {
  const link = event.target.closest("a[data-sheet-open]");
  const sheet = one("#sheet");
  if (!link || !sheet || event.ctrlKey || event.metaKey || event.shiftKey) return;
  event.preventDefault();
  const answer = await page(link.href);
  const content = one("[data-sheet]", answer.document);
  if (!content) { location.href = link.href; return; }
  sheet.replaceChildren(document.adoptNode(content));
  wake(sheet);
  sheet.showModal();
});
document.addEventListener("click", (event) => {
  const sheet = one("#sheet[open]");
  if (sheet && (event.target === sheet || event.target.closest("[data-cancel]"))) {
    event.preventDefault();
    sheet.close();
  }
});

// A form is sent once. One that answers with a file leaves the page standing:
// it is loaded again, to show what is left.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (form.method !== "post" || event.defaultPrevented) return;
  if (form.dataset.sent) { event.preventDefault(); return; }
  if ("plain" in form.dataset) {
    setTimeout(() => { one("#sheet[open]")?.close(); location.reload(); }, 2500);
    return;
  }
  form.dataset.sent = "1";
  const button = event.submitter;
  if (button?.dataset.busy) setTimeout(() => { button.textContent = button.dataset.busy; button.disabled = true; });
});
window.addEventListener("pageshow", () => all("form[data-sent]").forEach((form) => { delete form.dataset.sent; }));

// Pages whose subject moves by itself are looked at again while they are seen.
function refresh() {
  const seconds = Number(document.body.dataset.refresh);
  if (!seconds) return;
  setTimeout(async () => {
    const busy = document.hidden || one("dialog[open]") || one("#main :is(input, textarea, select):focus") || all("#main input[type=checkbox]:checked").length || one("#main .hops details[open]");
    if (!busy) {
      try {
        const answer = await page(location.href);
        if (answer.ok && answer.url === location.href) {
          one("#main").replaceChildren(...one("#main", answer.document).childNodes);
          document.body.dataset.refresh = answer.document.body.dataset.refresh || "";
          wake(one("#main"));
        }
      } catch { /* the server is away for a moment; the next turn tries again */ }
    }
    refresh();
  }, seconds * 1000);
}

// The preview follows what is typed.
function preview(form) {
  const pane = one("#preview");
  let timer, turn = 0;
  const look = async () => {
    const mine = ++turn;
    const data = new FormData(form);
    for (const [name, value] of [...data]) if (value instanceof File) data.delete(name);
    data.set("do", "preview");
    const body = form.enctype === "multipart/form-data" ? data : new URLSearchParams(data);
    try {
      const answer = await page(form.action, { method: "POST", body });
      const fresh = one("#preview", answer.document);
      if (fresh && mine === turn) { pane.replaceChildren(...fresh.childNodes); wake(pane); }
    } catch { /* the button still works */ }
  };
  if (one("[name=preview_device]", form)) {
    form.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 600); });
  }
}

// Lookup values are put where the cursor was.
let last;
document.addEventListener("focusin", (event) => { if (event.target.matches("form[data-preview] input.mono, form[data-preview] textarea.mono")) last = event.target; });
document.addEventListener("click", (event) => {
  const chip = event.target.closest("[data-insert]");
  if (!chip) return;
  const field = last || one("#f-spec-subject");
  field.focus();
  field.setRangeText(chip.dataset.insert, field.selectionStart, field.selectionEnd, "end");
  field.dispatchEvent(new Event("input", { bubbles: true }));
});

// Ctrl K: the menu and everything that has a name.
const palette = one("#palette");
if (palette) {
  const text = one("#palette-text"), list = one("#palette-list");
  let hits = [], at = 0, turn = 0, timer;
  const draw = () => {
    list.replaceChildren(...hits.map((hit, i) => {
      const item = document.createElement("li"), link = document.createElement("a");
      item.setAttribute("role", "option");
      item.id = "palette-" + i;
      item.setAttribute("aria-selected", String(i === at));
      link.href = hit.url;
      link.tabIndex = -1;
      for (const [name, value] of [["kind", hit.kind], ["name", hit.title || hit.url], ["note", hit.note]]) {
        const part = document.createElement("span");
        part.className = name;
        part.textContent = value || "";
        link.append(part);
      }
      item.append(link);
      return item;
    }));
    text.setAttribute("aria-activedescendant", hits.length ? "palette-" + at : "");
    one("[aria-selected=true]", list)?.scrollIntoView({ block: "nearest" });
  };
  const look = async () => {
    const mine = ++turn;
    const answer = await fetch("/search.json?q=" + encodeURIComponent(text.value));
    if (!answer.ok || mine !== turn) return;
    hits = await answer.json();
    at = 0;
    draw();
  };
  const open = () => { if (!palette.open) { text.value = ""; palette.showModal(); look(); } };
  document.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key?.toLowerCase() === "k") { event.preventDefault(); open(); }
  });
  palette.addEventListener("click", (event) => { if (event.target === palette) palette.close(); });
  text.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(look, 120); });
  text.addEventListener("keydown", (event) => {
    if (event.key === "ArrowDown" || event.key === "ArrowUp") {
      event.preventDefault();
      if (hits.length) at = (at + (event.key === "ArrowDown" ? 1 : hits.length - 1)) % hits.length;
      draw();
    }
    if (event.key === "Enter") {
      event.preventDefault();
      if (hits[at]) location.href = hits[at].url;
    }
  });
}

// Passkeys. The server speaks base64url; browsers want buffers.
const bytes = (s) => Uint8Array.from(atob(s.replace(/-/g, "+").replace(/_/g, "/")), (c) => c.charCodeAt(0));
const base64 = (buffer) => btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

async function send(url, body) {
  const answer = await fetch(url, { method: "POST", body, headers: body ? { "Content-Type": "application/json" } : {} });
  const value = await answer.json();
  if (!answer.ok) throw new Error([value.message, value.remedy, value.reference].filter(Boolean).join(" "));
  return value;
}

function complain(place, error) {
  const box = document.createElement("div");
  box.className = "problem";
  box.setAttribute("role", "alert");
  box.textContent = error.name === "NotAllowedError" ? "The browser gave no passkey: it was cancelled, or there is none for this server." : error.message;
  place.replaceChildren(box);
}

function passkey(box) {
  const button = one("[data-passkey-go]", box);
  if (!window.PublicKeyCredential) { box.hidden = true; return; }
  button.addEventListener("click", async () => {
    button.disabled = true;
    try {
      const options = (await send(box.dataset.passkey + "/begin")).publicKey;
      options.challenge = bytes(options.challenge);
      (options.allowCredentials || []).forEach((c) => { c.id = bytes(c.id); });
      const c = await navigator.credentials.get({ publicKey: options });
      const done = await send(box.dataset.passkey + "/finish?next=" + encodeURIComponent(box.dataset.next), JSON.stringify({
        id: c.id, rawId: base64(c.rawId), type: c.type, clientExtensionResults: c.getClientExtensionResults(), authenticatorAttachment: c.authenticatorAttachment,
        response: { clientDataJSON: base64(c.response.clientDataJSON), authenticatorData: base64(c.response.authenticatorData), signature: base64(c.response.signature), userHandle: c.response.userHandle ? base64(c.response.userHandle) : null },
      }));
      location.href = done.next;
    } catch (error) {
      complain(one("[data-passkey-problem]", box), error);
    }
    button.disabled = false;
  });
}

function register(form) {
  if (!window.PublicKeyCredential) { form.hidden = true; return; }
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = one("button", form);
    button.disabled = true;
    try {
      const options = (await send(form.dataset.register + "/begin")).publicKey;
      options.challenge = bytes(options.challenge);
      options.user.id = bytes(options.user.id);
      (options.excludeCredentials || []).forEach((c) => { c.id = bytes(c.id); });
      const c = await navigator.credentials.create({ publicKey: options });
      const name = one("#passkey-name", form).value.trim() || "Passkey";
      const done = await send(form.dataset.register + "/finish?name=" + encodeURIComponent(name), JSON.stringify({
        id: c.id, rawId: base64(c.rawId), type: c.type, clientExtensionResults: c.getClientExtensionResults(), authenticatorAttachment: c.authenticatorAttachment,
        response: { clientDataJSON: base64(c.response.clientDataJSON), attestationObject: base64(c.response.attestationObject), transports: c.response.getTransports ? c.response.getTransports() : [] },
      }));
      location.href = done.next;
    } catch (error) {
      complain(one("[data-passkey-problem]", form), error);
    }
    button.disabled = false;
  });
}

wake(document);
refresh();
one("#problem")?.focus();
