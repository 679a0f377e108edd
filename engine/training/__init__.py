"""What every training loop needs: files it goes on from, and what follows from the step alone."""
