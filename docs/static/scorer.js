// Sphinx's weights, but a guide whose title holds the query comes before methods of that name, and guides before API pages.
var Scorer = {
  objNameMatch: 11, objPartialMatch: 6, objPrio: { 0: 5, 1: 0, 2: -5 }, objPrioDefault: 0,
  title: 15, partialTitle: 7, term: 5, partialTerm: 2,
  score: ([page, title, anchor, description, score, file, kind]) => {
    const query = (new URLSearchParams(window.location.search).get("q") || "").toLowerCase().trim();
    const words = title.toLowerCase().split(/[^a-z0-9]+/);
    const whole = query.split(/\s+/).every((word) => words.includes(word) || words.includes(word + "s"));
    const guide = kind === "text" && !page.includes("generated/");
    return score + (guide ? (whole ? 20 : title.toLowerCase().includes(query) ? 15 : 0) : 0);
  },
};
