"""Training: recipes, sampling, the loop, exact resume, several processes."""
