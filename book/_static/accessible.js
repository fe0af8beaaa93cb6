// The theme's labels differ from the text they stand on, and one region has no name.
const mend = () => {
  document.querySelectorAll('.search-button-field, summary[aria-label="Toggle hidden content"]').forEach((e) => e.removeAttribute('aria-label'));
  document.querySelectorAll('.theme-switch-button svg').forEach((e) => ['title', 'role', 'aria-labelledby'].forEach((a) => e.removeAttribute(a)));
  document.querySelectorAll('.sidebar-primary-items__start').forEach((e) => { e.setAttribute('role', 'region'); e.setAttribute('aria-label', 'Contents'); });
};
// Font Awesome draws its icons late.
document.addEventListener('DOMContentLoaded', () => { mend(); new MutationObserver(mend).observe(document.body, { childList: true, subtree: true }); });
