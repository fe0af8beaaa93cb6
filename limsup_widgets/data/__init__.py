"""What comes in: readers, manifests, synthetic cohorts, simulated annotators, the journal."""
