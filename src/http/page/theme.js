// Before anything is painted: what was chosen last time. Without a choice the system decides.
(function () {
  try {
    var chosen = localStorage.getItem('plugline-theme');
    if (chosen) document.documentElement.dataset.theme = chosen;
  } catch (_) { /* storage is off: the system decides */ }
})();
