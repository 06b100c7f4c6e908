AWS
s3cr3t-ecr
