"""Pictures for people: Plotly figures from tables and slices with their overlays; pure functions, in one look."""
