"""Where the tables of scoring runs are stored, which runs are committed, and reading their rows back."""
