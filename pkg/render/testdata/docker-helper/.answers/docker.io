hubber
s3cr3t-hub
