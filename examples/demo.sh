#!/bin/sh
# The main job, offline: look at a real machine image, then bring it into (sandboxed) EC2 as an AMI.
set -eu
cd "$(dirname "$0")"
echo '$ vmie check demo.ova'
vmie check demo.ova
echo
echo '$ vmie --sandbox import demo.ova --name demo'
vmie --sandbox import demo.ova --name demo
