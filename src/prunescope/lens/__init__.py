"""Why pruning helped or hurt, example by example, from stored rows and arrays alone. numpy alone; nothing retrains."""
