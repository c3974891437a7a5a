// Sets the colour scheme before the first paint, so that a dark page does not flash white. Mantine takes over later.
(function () {
  var wish = null;
  try {
    wish = window.localStorage.getItem("opd.color-scheme");
  } catch (error) {
    void error; // storage may be forbidden; the system's scheme is then used
  }
  var dark = wish === "dark" || (wish !== "light" && window.matchMedia("(prefers-color-scheme: dark)").matches);
  document.documentElement.setAttribute("data-mantine-color-scheme", dark ? "dark" : "light");
})();
