"""Forbids the login mill something on a resource, or allows it again.

    acl.py BROKERS deny|allow topic|group NAME WRITE|READ
"""

import sys

from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

brokers, what, kind, name, operation = sys.argv[1:]
rule = (
    ResourceType[kind.upper()],
    name,
    ResourcePatternType.LITERAL,
    "User:mill",
    "*",
    AclOperation[operation],
    AclPermissionType.DENY,
)
admin = AdminClient({"bootstrap.servers": brokers})
if what == "deny":
    # A resource with a rule is closed to all but whom another rule lets in.
    everyone = rule[:3] + ("User:*", "*", AclOperation.ALL, AclPermissionType.ALLOW)
    results = admin.create_acls([AclBinding(*everyone), AclBinding(*rule)])
else:
    results = admin.delete_acls([AclBindingFilter(*rule)])
for result in results.values():
    result.result()
print("done")
