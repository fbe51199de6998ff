// Before anything is drawn, so that a chosen theme does not flash.
try {
  const chosen = localStorage.getItem('meridian.theme');
  if (chosen === 'dark' || chosen === 'light') document.documentElement.dataset.theme = chosen;
} catch {
  // Storage is forbidden: the theme of the system stays.
}
