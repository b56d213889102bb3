"""The Open Inference Protocol (version 2 of KServe's and Triton's HTTP), beside our own routes."""
