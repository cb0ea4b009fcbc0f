"""The numbers of each figure, frozen and typed. Nothing here draws: `report.charts` does."""
