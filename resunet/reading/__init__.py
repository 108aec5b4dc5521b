"""From bytes to checked arrays: one reader per format, the checks that every scan passes, and the sandbox around them."""
