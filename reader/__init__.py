"""From kernel C to callback programs. The reader knows no clause and no solver."""
