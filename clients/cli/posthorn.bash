# Completion of posthorn(1) for bash.

_posthorn_accounts() {
	posthorn account list 2>/dev/null | cut -f 1
}

_posthorn() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]}
	local server=(--tls --ca --password-file --login --timeout --help)
	local account=(--tls --login --send --send-tls --from --help)
	local words=()
	case $previous in
	--tls | --send-tls) words=(implicit starttls none) ;;
	--login) words=(best scram-sha-256 scram-sha-1 apop cram-md5 plain login user) ;;
	--format) words=(eml maildir mbox) ;;
	--ca | --password-file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
	--dir) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
	--timeout | --lines | --from | --full-name | --send | --url | --rename | -f | -F) return ;;
	esac
	if [ ${#words[@]} -gt 0 ]; then
		mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
		return
	fi
	case "${COMP_CWORD} ${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
	'1 '*) words=(pop3 send talk account --help --version) ;;
	'2 pop3 '*) words=(list show fetch delete) ;;
	'2 account '*) words=(list add change remove) ;;
	'2 talk '*) words=(pop3 imap smtp) ;;
	*' pop3 list') words=("${server[@]}" --json) ;;
	*' pop3 show') words=("${server[@]}" --lines --raw) ;;
	*' pop3 fetch') words=("${server[@]}" --dir --format --again) ;;
	*' pop3 delete') words=("${server[@]}") ;;
	*' send '*) words=("${server[@]}" --from --full-name --recipients-in-header --ignore-dots --partial) ;;
	*' talk '*) words=(--tls --ca --timeout --help) ;;
	*' account list') words=(--json --help) ;;
	*' account add') words=("${account[@]}") ;;
	*' account change') words=("${account[@]}" --url --rename) ;;
	*' account remove') words=(--help) ;;
	esac
	case "${COMP_WORDS[1]} ${COMP_WORDS[2]}" in
	pop3\ * | send\ * | 'account change' | 'account remove')
		if [[ $current != -* ]] && ! [[ ${COMP_WORDS[1]} =~ ^(pop3|account)$ && $COMP_CWORD -eq 2 ]]; then
			mapfile -t words < <(_posthorn_accounts)
		fi
		;;
	esac
	local IFS=$'\n'
	mapfile -t COMPREPLY < <(compgen -W "${words[*]}" -- "$current")
}

complete -F _posthorn posthorn
