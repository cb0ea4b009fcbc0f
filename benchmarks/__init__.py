"""What prunescope's speed is held against; ``make bench`` runs all of it. Timings never decide a test."""
