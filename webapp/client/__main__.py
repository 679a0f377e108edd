from webapp.client.cli import main

main()
