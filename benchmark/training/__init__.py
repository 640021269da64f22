"""Training one cohort: data on the device, the loop, its optimizer, and what it costs."""
