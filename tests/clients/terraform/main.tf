# A role, a bucket, an object, an imported snapshot and an AMI of it: VM Import as Terraform's users write it.
terraform {
  required_providers {
    aws = { source = "hashicorp/aws" }
  }
}
provider "aws" {
  region                      = "us-east-1"
  s3_use_path_style           = true
  skip_requesting_account_id  = false
}
resource "aws_s3_bucket" "images" {
  bucket        = "terraform-images"
  force_destroy = true
  tags          = { team = "a" }
}
resource "aws_s3_bucket_versioning" "images" {
  bucket = aws_s3_bucket.images.id
  versioning_configuration { status = "Suspended" }
}
resource "aws_s3_object" "disk" {
  bucket = aws_s3_bucket.images.id
  key    = "disk.raw"
  source = "disk.raw"
}
resource "aws_iam_role" "vmimport" {
  name = "terraform-vmimport"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{ Effect = "Allow", Principal = { Service = "vmie.amazonaws.com" }, Action = "sts:AssumeRole",
      Condition = { StringEquals = { "sts:Externalid" = "vmimport" } } }]
  })
}
resource "aws_iam_role_policy" "vmimport" {
  role = aws_iam_role.vmimport.id
  policy = jsonencode({
    Version = "2012-10-17"
    Statement = [
      { Effect = "Allow", Action = ["s3:GetBucketLocation", "s3:GetObject", "s3:ListBucket"], Resource = [aws_s3_bucket.images.arn, "${aws_s3_bucket.images.arn}/*"] },
      { Effect = "Allow", Action = ["ec2:ModifySnapshotAttribute", "ec2:CopySnapshot", "ec2:RegisterImage", "ec2:Describe*"], Resource = "*" }]
  })
}
resource "aws_ebs_snapshot_import" "disk" {
  role_name = aws_iam_role.vmimport.name
  disk_container {
    format = "RAW"
    user_bucket {
      s3_bucket = aws_s3_bucket.images.id
      s3_key    = aws_s3_object.disk.key
    }
  }
  tags       = { Name = "terraform" }
  depends_on = [aws_iam_role_policy.vmimport]
}
resource "aws_ami" "image" {
  name                = "terraform"
  root_device_name    = "/dev/sda1"
  virtualization_type = "hvm"
  ena_support         = true
  ebs_block_device {
    device_name = "/dev/sda1"
    snapshot_id = aws_ebs_snapshot_import.disk.id
    volume_size = 8
    volume_type = "gp3"
  }
}
resource "aws_ami_launch_permission" "shared" {
  image_id   = aws_ami.image.id
  account_id = "111122223333"
}
