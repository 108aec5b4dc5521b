"""From masks to figures: counts, aggregation, intervals, paired tests, cross-validation, choices on validation."""
