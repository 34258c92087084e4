() => {
  // What a model writes may be shown as Markdown: a picture in it is never fetched from elsewhere.
  const policy = document.createElement("meta");
  policy.httpEquiv = "Content-Security-Policy";
  policy.content = "img-src 'self' data: blob:; form-action 'self'";
  document.head.append(policy);
  // Names for screen readers that Gradio 6.31 leaves out or gets wrong (axe-core's rules
  // aria-prohibited-attr, button-name and label-content-name-mismatch).
  // And a live region that announces the status of a run: its begin, its end, and every ten seconds.
  const RUNS = 'button[id$="-run"]';
  let isScheduled = false;
  const announcer = document.body.appendChild(document.createElement("div"));
  announcer.id = "announcer";
  announcer.setAttribute("role", "status");
  const announced = new WeakMap();
  const announce = (line) => {
    const text = line.innerText.trim(), isRunning = line.querySelector(".bar") !== null;
    const last = announced.get(line.parentElement) ?? { text, isRunning, at: 0 };
    const isDue = isRunning !== last.isRunning || !isRunning || Date.now() - last.at > 10000;
    const isNew = text !== last.text && isDue && line.offsetParent !== null;
    if (isNew) announcer.textContent = text;
    announced.set(line.parentElement, isNew ? { text, isRunning, at: Date.now() } : last);
  };
  // What a message says of a field stands under that field, too, until it is changed.
  const named = (name) => {
    const labels = [...document.querySelectorAll('[data-testid="block-info"], .field-' + name)];
    const words = name.replaceAll("_", " ");
    const found = labels.find((e) => e.offsetParent !== null &&
      (e.classList.contains("field-" + name) || e.innerText.trim().toLowerCase() === words));
    return found?.closest(".block");
  };
  const showAtField = (toast) => {
    toast.dataset.isShown = "yes";
    const name = toast.innerText.match(/^([a-z_]+) (is|has) /)?.[1];
    const field = name && named(name);
    if (!field || field.querySelector(".field-error")) return;
    const note = field.appendChild(document.createElement("p"));
    note.className = "field-error";
    note.id = `field-error-${name}`;
    note.textContent = toast.innerText.trim();
    const input = field.querySelector("input, textarea");
    input?.setAttribute("aria-invalid", "true");
    input?.setAttribute("aria-describedby", note.id);
    field.scrollIntoView({ block: "nearest" });
    field.addEventListener("input", () => {
      note.remove();
      input?.removeAttribute("aria-invalid");
    }, { once: true });
  };
  const mend = () => {
    isScheduled = false;
    nameThumbnails();
    document.querySelectorAll('[data-testid="toast-text"]:not([data-is-shown])').forEach(showAtField);
    document.querySelectorAll(".status").forEach(announce);
    document.querySelectorAll(RUNS).forEach((e) => { e.title = "Ctrl+Enter"; });
    document.querySelectorAll("#paint-gallery img").forEach((e) => {
      e.classList.toggle("is-small", e.naturalWidth > 0 && Math.max(e.naturalWidth, e.naturalHeight) <= 256);
    });
    document.querySelectorAll(".empty[aria-label]:not([role])").forEach((e) => e.setAttribute("role", "img"));
    document.querySelectorAll(".upload-container[aria-label]").forEach((e) => e.removeAttribute("aria-label"));
    document.querySelectorAll("button.gallery-item:not([aria-label]):has(img)").forEach((e) => {
      e.setAttribute("aria-label", `Example ${[...e.parentElement.children].indexOf(e) + 1}`);
    });
  };
  const nameThumbnails = () => document.querySelectorAll(".thumbnail-item:has(.caption-label)").forEach((e) => {
    const caption = e.querySelector(".caption-label").innerText.trim();
    const label = e.getAttribute("aria-label") ?? "";
    if (!label.endsWith(caption)) e.setAttribute("aria-label", `${label.split(": ")[0]}: ${caption}`);
  });
  const schedule = () => {
    if (!isScheduled) requestAnimationFrame(mend);
    isScheduled = true;
  };
  new MutationObserver(schedule).observe(document.body, { childList: true, subtree: true });
  document.addEventListener("load", schedule, true);  // a picture's size is known then
  schedule();

  // Ctrl+Enter runs what stands nearest to where one types, else what the open tab runs.
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
    const visible = (root) => [...root.querySelectorAll(RUNS)].filter((e) => e.offsetParent !== null);
    let around = event.target;
    while (around !== document.body && visible(around).length === 0) around = around.parentElement;
    const [run] = visible(around);
    if (run === undefined) return;
    event.preventDefault();
    event.stopPropagation();
    // What was typed last reaches the page's state at the next frame.
    requestAnimationFrame(() => run.click());
  }, true);

  // Arrow keys turn from tab to tab, which Gradio 6.31 leaves to Tab and Enter.
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    const tab = event.target.closest('[role="tab"]');
    if (step === undefined || tab === null) return;
    const tabs = [...tab.closest('[role="tablist"]').querySelectorAll('[role="tab"]')];
    const next = tabs.at((tabs.indexOf(tab) + step) % tabs.length);
    next.focus();
    next.click();
    event.preventDefault();
  });
}
