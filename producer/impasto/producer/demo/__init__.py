"""What the demonstration needs and a deployment doesn't: painted styles and the sheet of all results."""
