"""Several sections with their patients: evaluate, fit and predict."""
