() => {
  // Names for screen readers that Gradio 6.31 leaves out or gets wrong (axe-core's rules
  // aria-prohibited-attr, button-name and label-content-name-mismatch).
  let isScheduled = false;
  const mend = () => {
    isScheduled = false;
    document.querySelectorAll(".empty[aria-label]:not([role])").forEach((e) => e.setAttribute("role", "img"));
    document.querySelectorAll(".upload-container[aria-label]").forEach((e) => e.removeAttribute("aria-label"));
    document.querySelectorAll("button.gallery-item:not([aria-label]):has(img)").forEach((e) => {
      e.setAttribute("aria-label", `Example ${[...e.parentElement.children].indexOf(e) + 1}`);
    });
  };
  const schedule = () => {
    if (!isScheduled) requestAnimationFrame(mend);
    isScheduled = true;
  };
  new MutationObserver(schedule).observe(document.body, { childList: true, subtree: true });
  schedule();
}
