"""What stage validate finds beside the rules of the contract: drift from the accepted data, and examples to look at."""
