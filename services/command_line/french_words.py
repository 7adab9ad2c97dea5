"""What the commands say of themselves, in English and in French."""

WORDS = {
    "Finds the patients a health service is losing, while they can still be helped.": (
        "Trouve les patients qu'un service de santé est en train de perdre, tant qu'on peut encore les aider."
    ),
    # what is said of many commands
    "Where this instance lives (default: PARCOURS_HOME, else .parcours).": (
        "Où vit cette instance (par défaut : PARCOURS_HOME, sinon .parcours)."
    ),
    "en or fr (default: PARCOURS_LANG, else the session's).": "en ou fr (par défaut : PARCOURS_LANG, sinon celle de la session).",
    "Print JSON for programs.": "Écrire du JSON, pour les programmes.",
    "Only this establishment.": "Seulement cet établissement.",
    "Only this establishment (default: all).": "Seulement cet établissement (par défaut : tous).",
    "The establishment.": "L'établissement.",
    "Only what concerns these departments (may be repeated).": "Seulement ce qui concerne ces services (peut être répété).",
    "A policy document (JSON or TOML): what differs from the defaults.": (
        "Un document de politique (JSON ou TOML) : ce qui diffère des valeurs par défaut."
    ),
    "Processes that share the partitions.": "Combien de processus se partagent les partitions.",
    "No ticks: an imported history ends at its own last moment.": (
        "Pas de battements : une histoire importée finit à son propre dernier instant."
    ),
    "The log ends before what the tables have read: go on with what it holds.": (
        "Le journal finit avant ce que les tables ont lu : continuer avec ce qu'il contient."
    ),
    "As it was known at this instant.": "Tel qu'on le savait à cet instant.",
    "As it stood at this instant, known today.": "Tel que c'était à cet instant, d'après ce qu'on sait aujourd'hui.",
    # an instance
    "Start everything, play eight weeks of a small French hospital once, and show who is being lost.": (
        "Tout démarrer, jouer une fois huit semaines d'un petit hôpital français, et montrer qui on est en train de perdre."
    ),
    "Start Kafka, PostgreSQL and every service here, and keep them running.": (
        "Démarrer ici Kafka, PostgreSQL et tous les services, et les garder en marche."
    ),
    "Port of the API on 127.0.0.1.": "Port de l'API sur 127.0.0.1.",
    "Return once everything is ready.": "Rendre la main une fois que tout est prêt.",
    "Stop the instance that runs here.": "Arrêter l'instance qui tourne ici.",
    "Print a link that opens the console once, within the hour.": (
        "Écrire un lien qui ouvre la console une fois, dans l'heure."
    ),
    "Who it is for: the name that stands beside what they do.": (
        "Pour qui : le nom qui figurera à côté de ce que fait cette personne."
    ),
    "reader, operator or admin.": "reader (lecture), operator (équipe) ou admin.",
    "What runs here, how far it has read, how fast it is, and where its time goes.": (
        "Ce qui tourne ici, jusqu'où c'est lu, à quelle vitesse, et où passe le temps."
    ),
    "Look at everything that could be wrong, and say what to do.": (
        "Regarder tout ce qui pourrait ne pas aller, et dire que faire."
    ),
    "Run one service alone.": "Faire tourner un seul service.",
    "Run one more projector of the instance that runs here; it shares the partitions with the others.": (
        "Faire tourner un projecteur de plus pour l'instance d'ici ; il partage les partitions avec les autres."
    ),
    "As `up --no-clock`.": "Comme `up --no-clock`.",
    "Run the notifier alone: alerts to Kafka and to every subscriber.": (
        "Faire tourner l'envoi seul : les alertes vers Kafka et vers chaque abonné."
    ),
    "The address it listens on.": "L'adresse sur laquelle il écoute.",
    "Where it listens (0: any free port).": "Le port sur lequel il écoute (0 : n'importe quel port libre).",
    "Run the clock alone: time as facts. One is enough; two tick twice, which harms nobody.": (
        "Faire tourner l'horloge seule : le temps devient des faits. Une suffit ; deux battent deux fois, sans dommage."
    ),
    "Run the HTTP doors alone: facts in, the API and the console out.": (
        "Faire tourner les portes HTTP seules : les faits entrent, l'API et la console en sortent."
    ),
    "Make the topics and the tables of servers of your own, if they are not there; then leave.": (
        "Créer les sujets Kafka et les tables sur vos propres serveurs, s'ils n'y sont pas ; puis s'arrêter."
    ),
    # facts in, results out
    "Write the facts of a file to Kafka, in file order; each tick goes to every partition.": (
        "Écrire dans Kafka les faits d'un fichier, dans son ordre ; chaque battement va dans toutes les partitions."
    ),
    "CloudEvents, one a line.": "Des CloudEvents, un par ligne.",
    "Return once the tables hold everything published.": "Rendre la main quand les tables contiennent tout ce qui a été publié.",
    "Fold facts without any server, and print what comes out (EVENTS section 6).": (
        "Calculer le résultat de faits sans aucun serveur, et l'écrire (EVENTS, section 6)."
    ),
    "CloudEvents, one a line; each file is a partition of its own.": (
        "Des CloudEvents, un par ligne ; chaque fichier est une partition à lui seul."
    ),
    "Evaluate at this instant, if later than the file's own.": (
        "Évaluer à cet instant, s'il est postérieur à celui du fichier."
    ),
    "Print the read tables in the same shape as `fold`.": "Écrire les tables de lecture, sous la même forme que `fold`.",
    "Turn an event log into facts and publish them; importing twice changes nothing.": (
        "Changer un journal d'événements en faits et les publier ; importer deux fois ne change rien."
    ),
    "XES, CSV or JSONL; gzip is unpacked.": "XES, CSV ou JSONL ; le gzip est décompressé.",
    "Column of the case.": "Colonne du dossier.",
    "Column of the patient (default: one of that name, else the case).": (
        "Colonne du patient (par défaut : celle qui porte ce nom, sinon le dossier)."
    ),
    "Column of the time.": "Colonne de la date.",
    "Column of the time of day, where the time's column has only the day.": (
        "Colonne de l'heure, si celle de la date ne donne que le jour."
    ),
    "Column of the department.": "Colonne du service.",
    "Column of the activity.": "Colonne de l'activité.",
    "Column of the time at which the case was closed.": "Colonne de la date de clôture du dossier.",
    "Column of who did it.": "Colonne de qui l'a fait.",
    "A cell with this value is empty.": "Une cellule qui contient cette valeur est vide.",
    "Zone of times without one, as in Europe/Paris.": "Fuseau des dates qui n'en ont pas, par exemple Europe/Paris.",
    "xes, csv or jsonl (default: detected).": "xes, csv ou jsonl (par défaut : reconnu).",
    "A map in TOML, or the shipped receipt.toml.": "Une correspondance en TOML, ou receipt.toml, qui est fournie.",
    "Write the facts to this file instead of publishing them.": "Écrire les faits dans ce fichier au lieu de les publier.",
    "The establishment the facts belong to.": "L'établissement auquel appartiennent les faits.",
    "Play history as it was lived: recorded when it happened.": (
        "Jouer l'histoire comme elle a été vécue : enregistrée au moment où elle a lieu."
    ),
    "Write one self-contained page about a file, without any server: bounced cases, moves, the longest paths.": (
        "Écrire une page autonome sur un fichier, sans aucun serveur : dossiers ballottés, passages, parcours les plus longs."
    ),
    "An event log (XES, CSV), facts (JSONL), or what `export` or `fold` printed.": (
        "Un journal d'événements (XES, CSV), des faits (JSONL), ou ce que `export` ou `fold` a écrit."
    ),
    "The page to write.": "La page à écrire.",
    # keeping and making anew
    "Copy the log and the tables into a new folder while everything goes on. It holds what patients said: keep it safe.": (
        "Copier le journal et les tables dans un nouveau dossier pendant que tout continue. Il contient les paroles des patients :"
        " gardez-le en lieu sûr."
    ),
    "Where the backup is, or is to be.": "Où est la sauvegarde, ou bien où elle doit être.",
    "Put a backup back into a home where nothing runs and nothing is kept; then `parcours up` goes on from there.": (
        "Remettre une sauvegarde là où rien ne tourne et où rien n'est gardé ; ensuite `parcours up` reprend à partir d'elle."
    ),
    "Make the tables anew from the log, beside the old ones, and switch when they have caught up.": (
        "Refaire les tables à partir du journal, à côté des anciennes, et changer quand elles les ont rattrapées."
    ),
    "Go on with a rebuild that was interrupted.": "Reprendre une reconstruction interrompue.",
    "Fold the whole log anew, aside, and compare every table; exit 1 and the patients' names on any difference.": (
        "Recalculer tout le journal à part et comparer toutes les tables ; code 1 et les patients nommés à la moindre différence."
    ),
    "Which findings another policy would open, close or change; nothing is switched.": (
        "Quels constats une autre politique ouvrirait, fermerait ou changerait ; rien n'est mis en service."
    ),
    "The generations of the tables, and which is in use.": "Les générations des tables, et celle qui sert.",
    "Back to the generation before: it catches up first.": "Revenir à la génération précédente : elle rattrape d'abord son retard.",
    "Remove a generation that is not in use.": "Supprimer une génération qui ne sert pas.",
    # laws
    "Every jurisdiction and version known here, with what is due when, and its source.": (
        "Toutes les réglementations et versions connues ici, avec ce qui est dû et quand, et leur source."
    ),
    "A jurisdiction somebody wrote.": "Une réglementation écrite par quelqu'un.",
    "Validate a jurisdiction that you wrote, and show what it says.": (
        "Vérifier une réglementation que vous avez écrite, et montrer ce qu'elle dit."
    ),
    "A jurisdiction in TOML.": "Une réglementation en TOML.",
    # cases and claims
    "Who is sent from department to department, worst first.": "Qui est renvoyé de service en service, les pires d'abord.",
    "B1, B2, B3 or B4.": "B1, B2, B3 ou B4.",
    "Which answers are owed, the longest endured first.": "Quelles réponses sont dues, les plus longtemps attendues d'abord.",
    "Only unanswered ones.": "Seulement celles qui sont sans réponse.",
    "What falls due so soon, as in 2d or 36h: tomorrow's work.": (
        "Ce qui arrive à échéance d'ici là, par exemple 2d (jours) ou 36h : le travail de demain."
    ),
    "Write an iCalendar file of everything that is due, for any calendar program.": (
        "Écrire un fichier iCalendar de tout ce qui est dû, pour n'importe quel agenda."
    ),
    "The iCalendar file to write.": "Le fichier iCalendar à écrire.",
    "One case: its path, visits, clocks, findings and timeline.": (
        "Un dossier : son parcours, ses passages, ses délais, ses constats et sa chronologie."
    ),
    "The case.": "Le dossier.",
    "Whose, where two patients share the id.": "De quel patient, si deux portent le même identifiant.",
    "One claim: its clocks, and why each stands where it stands.": (
        "Une réclamation : ses délais, et pourquoi chacun en est là."
    ),
    "The claim.": "La réclamation.",
    "The figures: cases, handoffs, returns, levels, claims.": (
        "Les chiffres : dossiers, transmissions, retours, niveaux, réclamations."
    ),
    # alerts
    "Alerts: their life, their deliveries, the brake.": "Les alertes : leur vie, leurs envois, le frein.",
    "Alerts and their state: the newest first for programs, the most severe first for people.": (
        "Les alertes et leur état : les plus récentes d'abord pour les programmes, les plus graves pour les personnes."
    ),
    "Resolved ones too.": "Celles qui sont terminées aussi.",
    "One alert: what it says, what people did, who was told.": (
        "Une alerte : ce qu'elle dit, ce que l'on en a fait, qui a été prévenu."
    ),
    "Take alerts on: nobody is reminded of them any more.": "Prendre en charge des alertes : elles ne sont plus rappelées à personne.",
    "Alerts, as `alerts list` names them.": "Des alertes, telles que `alerts list` les nomme.",
    "Who does it (default: you).": "Qui le fait (par défaut : vous).",
    "Why, for those who come after.": "Pourquoi, pour ceux qui viendront après.",
    "When you will have done it, as in 2026-03-12T17:00:00Z.": "Quand ce sera fait, par exemple 2026-03-12T17:00:00Z.",
    "Hear nothing more of alerts for a while.": "Ne plus entendre parler d'alertes pendant un temps.",
    "Until when; without it, until it is raised again.": "Jusqu'à quand ; sans date, jusqu'à ce qu'elle se déclenche de nouveau.",
    "Say that alerts were of no use, and why: `alerts quality` counts it against their rule.": (
        "Dire que des alertes n'ont servi à rien, et pourquoi : `alerts quality` le retient contre leur règle."
    ),
    "Who was told what, how many attempts it took, what is still waiting and why.": (
        "Qui a été prévenu de quoi, en combien d'essais, ce qui attend encore et pourquoi."
    ),
    "waiting, delivered, held, failed, dropped or muted.": (
        "waiting (en attente), delivered (remis), held (retenu), failed (échoué), dropped (abandonné) ou muted (mis en sourdine)."
    ),
    "The attempts of one message.": "Les essais d'un seul message.",
    "Send failed or waiting messages again, now.": "Renvoyer tout de suite des messages échoués ou en attente.",
    "All that waits or failed for it.": "Tout ce qui attend ou a échoué pour lui.",
    "One message.": "Un seul message.",
    "The emergency brake: nothing more is sent until `alerts release` or `alerts drop`. Findings and lists go on.": (
        "Le frein d'urgence : plus rien ne part jusqu'à `alerts release` ou `alerts drop`. Constats et listes continuent."
    ),
    "Let alerts go out again, those that were held first.": "Laisser repartir les alertes, d'abord celles qui étaient retenues.",
    "Let alerts go out again, without those that were held; they stay listed.": (
        "Laisser repartir les alertes, sans celles qui étaient retenues ; elles restent dans la liste."
    ),
    "Each rule's share of useful alerts, by department and month, as people judged them.": (
        "La part d'alertes utiles de chaque règle, par service et par mois, d'après ceux qui les ont jugées."
    ),
    "Rules: which findings are said to whom.": "Les règles : quels constats sont dits à qui.",
    "The rules in force, as TOML.": "Les règles en vigueur, en TOML.",
    "Say whether rules can be used, and if not, where they are wrong.": (
        "Dire si des règles sont utilisables et, sinon, où elles sont fausses."
    ),
    "Put rules in force: for what is said from now on.": "Mettre des règles en vigueur, pour ce qui sera dit désormais.",
    # subscribers
    "Who is told of alerts.": "Qui est prévenu des alertes.",
    "Add a subscriber. A webhook's secret is shown this once.": (
        "Ajouter un abonné. Le secret d'un webhook n'est montré que cette fois."
    ),
    "webhook, email, apprise (chat, SMS…); kafka and sse need none but may be listed.": (
        "webhook, email, apprise (messagerie, SMS…) ; kafka et sse n'en ont pas besoin, mais peuvent figurer."
    ),
    "The address: an https URL, a mail address, an Apprise URL.": "L'adresse : une URL https, une adresse de courriel, une URL Apprise.",
    "team, head, admin, all, or a role your rules name.": (
        "team (équipe), head (responsable), admin, all (tous), ou un rôle que nomment vos règles."
    ),
    "fr or en.": "fr ou en.",
    "Only these (may be repeated).": "Seulement ceux-ci (peut être répété).",
    "Only these rules or findings (may be repeated).": "Seulement ces règles ou ces constats (peut être répété).",
    "From low, medium, high or critical on.": "À partir de low, medium, high ou critical (faible, moyen, élevé, critique).",
    "When it may be told, as in 08:00-18:00; always for machines, office hours for people.": (
        "Quand on peut le prévenir, par exemple 08:00-18:00 ; toujours pour une machine, aux heures de bureau pour une personne."
    ),
    "The zone of its hours.": "Le fuseau de ses heures.",
    "Whose holidays it keeps, as in FR or CA-QC.": "De quel pays il suit les jours fériés, par exemple FR ou CA-QC.",
    "One message a day at this hour, as in 07:45.": "Un seul message par jour à cette heure, par exemple 07:45.",
    "Every subscriber; never a secret.": "Tous les abonnés ; jamais un secret.",
    "Send a test message now, and say what was answered.": "Envoyer maintenant un message d'essai, et dire ce qui a été répondu.",
    "Send it nothing for now; its alerts wait.": "Ne rien lui envoyer pour l'instant ; ses alertes attendent.",
    "Send to it again, beginning with what waits.": "Lui envoyer de nouveau, en commençant par ce qui attend.",
    "Forget a subscriber, and what waits for it.": "Oublier un abonné, et les messages en attente pour lui.",
    "Give a webhook a new secret; both sign until `--finish`.": (
        "Donner un nouveau secret à un webhook ; les deux signent jusqu'à `--finish`."
    ),
    "Stop signing with the old secret.": "Ne plus signer avec l'ancien secret.",
    "Let webhooks go to a host of your own network, or by plain http.": (
        "Permettre aux webhooks d'aller vers une machine de votre réseau, ou en http simple."
    ),
    "Take that back.": "Revenir sur cette permission.",
    # tokens and parked records
    "Tokens of the HTTP doors.": "Les jetons des portes HTTP.",
    "Make a token; it is shown this once, only its hash is kept.": (
        "Créer un jeton ; il n'est montré que cette fois, seule son empreinte est gardée."
    ),
    "emitter, reader, operator or admin.": "emitter (émetteur), reader (lecture), operator (équipe) ou admin.",
    "What it is for.": "À quoi il sert.",
    "Every token by its id; never its text.": "Tous les jetons par leur identifiant ; jamais leur texte.",
    "Let a token in no more (within five seconds).": "Ne plus laisser entrer un jeton (dans les cinq secondes).",
    "Records that are no facts.": "Les enregistrements qui ne sont pas des faits.",
    "Parked records: where they lie, and which rule each breaks.": (
        "Les enregistrements mis de côté : où ils sont, et quelle règle chacun enfreint."
    ),
    "One parked record, whole.": "Un enregistrement mis de côté, en entier.",
    "Try every parked record and quarantined patient once more; what is read now is a late fact.": (
        "Réessayer chaque enregistrement mis de côté et chaque patient en quarantaine ; ce qui se lit alors est un fait tardif."
    ),
    "Hide a parked record from the list, with a reason; the log keeps it.": (
        "Retirer de la liste un enregistrement mis de côté, avec un motif ; le journal le garde."
    ),
    "Why it may be forgotten.": "Pourquoi on peut l'oublier.",
    "Let a partition go on that was stopped because the folds of many patients failed; they are tried again.": (
        "Laisser repartir une partition arrêtée parce que le calcul de nombreux patients échouait ; on les réessaie."
    ),
}  # fmt: skip

HEADS = {
    "id": "identifiant", "tenant": "établissement", "role": "rôle", "label": "libellé", "created": "créé", "revoked": "révoqué",
    "partition": "partition", "offset": "position", "reason": "motif", "where": "où", "rule": "règle", "subject": "sujet",
    "table": "table", "patients": "patients", "who": "qui", "what": "quoi", "finding": "constat", "how many": "combien",
    "patient": "patient", "level now": "niveau actuel", "level then": "niveau alors", "state": "état", "policy": "politique",
    "its version": "sa version", "fold version": "version des calculs", "kind": "nature", "at": "le", "by": "par", "until": "jusqu'à",
    "number": "numéro", "act": "acte", "subscription": "abonné", "message": "message", "answer": "réponse", "seconds": "secondes",
    "department": "service", "month": "mois", "raised": "déclenchées", "useful": "utiles", "dismissed": "inutiles",
    "corrected": "corrigées", "useful_share": "part utile", "effective_from": "en vigueur le", "zone": "fuseau",
    "alerts": "alertes", "why": "pourquoi", "severity": "gravité", "attempts": "essais", "last_answer": "dernière réponse",
    "next_try_at": "prochain essai", "name": "nom", "to": "adresse", "language": "langue", "notice": "remarque",
    "holidays": "jours fériés", "acknowledge": "accusé", "final": "limite légale", "source": "source",
    "alert": "alerte", "n": "fois", "level": "niveau", "title": "quoi", "case": "dossier", "claim": "réclamation", "topic": "objet",
    "opened at": "ouverte le", "raised at": "déclenchée le", "said at": "dite le", "cause": "cause",
}  # fmt: skip
