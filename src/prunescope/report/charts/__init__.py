"""From the numbers of a figure to Vega-Lite, for the page and for files; the only rooms' corner that loads Altair."""
