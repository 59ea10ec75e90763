from lib.command import main

raise SystemExit(main())
