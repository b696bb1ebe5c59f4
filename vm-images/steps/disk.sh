# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
make_disk() { die "no disk"; }
