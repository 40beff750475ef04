# Completion of posthornctl for bash: the words come from the program itself, so they are always the right ones.

_posthornctl() {
	local current=${COMP_WORDS[COMP_CWORD]} previous=${COMP_WORDS[COMP_CWORD - 1]} word typed='' candidates
	case $previous in
	-c | --config | -p | --password-file) mapfile -t COMPREPLY < <(compgen -f -- "$current"); return ;;
	-d | --directory) mapfile -t COMPREPLY < <(compgen -d -- "$current"); return ;;
	esac
	if [[ $current == -* ]]; then
		candidates='--json --directory --config --password-file --no-password --set --all --replace --format --folder --since --follow --zone --dns
			--help --version'
	else
		for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
			[[ $word == -* ]] || typed+="$word "
		done
		candidates=$(posthornctl --commands | cut -f 1 | while IFS= read -r line; do
			[[ $line == "$typed"* ]] && line=${line#"$typed"} && printf '%s\n' "${line%% *}"
		done | sort -u)
	fi
	mapfile -t COMPREPLY < <(compgen -W "$candidates" -- "$current")
}
complete -F _posthornctl posthornctl
