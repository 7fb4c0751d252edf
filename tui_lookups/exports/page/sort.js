// Sorts a table by a column: numbers by all their digits, texts by their letters, missing ones last.
"use strict";
function key(row, column) {
  const cell = row.cells[column], figure = cell.querySelector("data");
  return figure ? Number(figure.value) : cell.textContent.trim();
}
function compare(one, other) {
  if (one === "" || other === "") return (one === "") - (other === "");
  if (typeof one === "number" && typeof other === "number") return one - other;
  return String(one).localeCompare(String(other), "en", { numeric: true });
}
document.addEventListener("click", (event) => {
  const button = event.target.closest("th button");
  if (!button) return;
  const head = button.closest("th"), body = head.closest("table").tBodies[0];
  const down = head.getAttribute("aria-sort") !== "descending";
  for (const each of head.parentElement.cells) each.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", down ? "descending" : "ascending");
  const rows = Array.from(body.rows, (row) => [key(row, head.cellIndex), row]);
  const filled = rows.filter(([value]) => value !== ""), empty = rows.filter(([value]) => value === "");
  filled.sort(([one], [other]) => (down ? -1 : 1) * compare(one, other));
  body.append(...[...filled, ...empty].map(([, row]) => row));
});
