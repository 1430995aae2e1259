"""The devices' doors, one module for each wire protocol."""
