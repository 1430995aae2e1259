"""The MySMSAPio app: REST and Action Cable."""
