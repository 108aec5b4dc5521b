"""What people take away: model cards, reports on a case, the slideshow."""
