later
s3cr3t-hub
